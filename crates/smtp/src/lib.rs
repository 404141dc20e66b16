//! SMTP without IO: codec, server session and client session.
