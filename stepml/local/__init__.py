"""The local AWS: moto's services and our engine and function processes, on one machine."""
