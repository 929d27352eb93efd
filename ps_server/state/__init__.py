"""Jobs, sums and models of a parameter server, without sockets."""
