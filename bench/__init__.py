"""The benchmarks: a service of their own, a load on loopback, and figures that hold only what was served."""
