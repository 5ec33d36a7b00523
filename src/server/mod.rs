//! Finds Postgres binaries and runs a private throwaway server; never as root, always cleaned up.
