"""Where counters, leases and records are kept: one contract in domain verbs, several stores."""
