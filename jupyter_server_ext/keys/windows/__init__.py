"""Rate windows: one limit each, what is learnt of a provider, and how they are kept in memory or shared by Redis."""
