//! Reference workloads with seeded faults, and the findings that each must produce.
