//! A [`super::Table`] as nfnetlink messages.
