"""What a cell would do: proven harmless, or asked about."""
