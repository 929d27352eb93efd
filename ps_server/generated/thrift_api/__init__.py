__all__ = ['ttypes', 'constants', 'ParameterServer']
