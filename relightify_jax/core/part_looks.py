"""How eyes and mouth of a head look: plain numbers that fitting measures and export paints."""

from typing import NamedTuple

RGB = tuple[float, float, float]  # Linear albedo in [0, 1].

# Neither brown nor grey: of someone whose eyes the photo does not show.
IRIS_UNKNOWN: RGB = (0.070, 0.043, 0.026)
# Photographs show the sclera greyer than white paint: lids and lashes shade it.
SCLERA: RGB = (0.56, 0.49, 0.44)
TEETH: RGB = (0.58, 0.50, 0.39)
TONGUE: RGB = (0.40, 0.13, 0.11)
FLESH: RGB = (0.34, 0.09, 0.075)


class EyeLook(NamedTuple):
    """Both eyes of a person."""

    iris_rgb: RGB = IRIS_UNKNOWN  # Middle of the iris.
    sclera_rgb: RGB = SCLERA
    iris_scale: float = 1.0  # Radius of the iris over that of the model's eye.
    # Radians from the model's gaze at rest to the subject's left, and upwards.
    gaze: tuple[float, float] = (0.0, 0.0)
    measured: bool = False  # Whether the photo showed the eyes.


class MouthLook(NamedTuple):
    """Inside of a person's mouth."""

    teeth_rgb: RGB = TEETH
    tongue_rgb: RGB = TONGUE
    flesh_rgb: RGB = FLESH
    measured: bool = False  # Whether the photo showed the teeth.


class PartLooks(NamedTuple):
    """What a head's procedural parts look like."""

    eyes: EyeLook = EyeLook()
    mouth: MouthLook = MouthLook()
