//! Bytes → events, streaming, in bounded memory. One log format a file.
