"""The benchmark's parts: what is measured, how, and how it is written down. `phonebank bench` runs them."""
