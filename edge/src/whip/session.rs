//! One presenter's media session: str0m behind our own interface.
