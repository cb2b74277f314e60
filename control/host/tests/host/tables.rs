//! What is in the kernel after a plan was applied, and after it was removed.
