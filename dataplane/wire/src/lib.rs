//! Views of packet headers, checksums and segmentation.
#![forbid(unsafe_code)]
