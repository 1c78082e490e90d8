//! A [`super::Table`] as nft script.
