//! The bus: frames, a client and an object server.
