//! Datagrams over real sockets.
