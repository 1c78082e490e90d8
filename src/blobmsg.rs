//! blob and blobmsg, the bus's encoding, both ways.
