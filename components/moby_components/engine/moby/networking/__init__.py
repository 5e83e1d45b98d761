"""The engine's side of networks: records, address pools and leases, and who is attached where."""
