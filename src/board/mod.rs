//! Adapters for boards, over `embedded-nal`.
