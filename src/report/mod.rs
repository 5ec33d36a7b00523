//! Report → bytes. One output a file.
