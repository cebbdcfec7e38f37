"""The colours of every picture."""

PAPER = "#FAF9F6"
GROUND = "#E8E4DC"
SHADE = "#DDD8CE"
LINE = "#CFC9BE"
QUIET = "#77726A"
INK = "#2B2F36"

# Okabe and Ito's, which people with any colour vision can tell apart.
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"
AMBER = "#C98A00"
