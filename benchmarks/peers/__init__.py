"""What the console is compared with. It runs in the environment of `bench.txt`, without the console."""
