"""cotkit: does this prompting strategy help this model, from which size on, and at what price?"""

__version__ = "0.1.0"
