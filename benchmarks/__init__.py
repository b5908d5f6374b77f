"""Speed, memory and completeness next to tap-closeio, on one machine, server and data set: `make bench`."""
