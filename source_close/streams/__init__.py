"""What a stream does beyond a stock one, each file named for it."""
