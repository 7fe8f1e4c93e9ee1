//! The daemon that shows one folder of the host to one machine.
