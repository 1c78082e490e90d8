//! Digests, HMAC, Rijndael in CBC mode.
