//! Index changes → migration files. One framework a file.
