"""Parts of hierarchical recurrent models: HRED, VHRED and the CVAE of Zhao et al. (2017)."""
