//! LAN-only remote desktop: which running flows the mode must cut.
