//! The one packet memory: pool, move-only packets, vectors.
