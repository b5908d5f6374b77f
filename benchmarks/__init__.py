"""Compare speed, memory and completeness with tap-closeio on the same machine, server and data: `make bench`."""
