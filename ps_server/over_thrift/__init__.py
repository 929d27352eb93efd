"""The parameter server over Thrift: its server and its client."""
