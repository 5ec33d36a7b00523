//! One file a subcommand: wires the layers, decides nothing.
