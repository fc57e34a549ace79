"""The probes: one module a capability, one function a probe."""
