"""How fairly an endpoint is shared: published workloads on a virtual clock, one order beside the other."""
