"""The parameter server over gRPC: its server and its client."""
