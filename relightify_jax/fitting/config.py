"""Every number that a fit can be tuned with, and why it is what it is."""

from typing import NamedTuple


class FitConfig(NamedTuple):
    """Settings of `fit_image`; plain hashable values, so a jitted stage may be keyed by it."""

    num_identity: int = 80  # Leading modes; fewer if the model has fewer.
    num_expression: int = 52
    num_albedo_modes: int = 16  # Of statistical albedo; 0 leaves it out.
    # The fit works on a square crop of fixed size, so nothing compiles anew for a photo.
    crop_size: int = 256
    crop_margin: float = 1.7  # Side of the crop over the larger side of the landmarks' box.

    # Landmarks: deviation^2 = noise^2 + (gain * spread)^2, all on the face, in metres.
    landmark_noise: float = 1.2e-3
    landmark_spread_gain: float = 0.7
    # Errors of neighbouring landmarks are correlated: 468 points count as this fraction.
    landmark_weight: float = 0.3
    landmark_cutoff: float = 4.0  # Geman-McClure, in deviations; a hand over the chin.
    # Gaze and tongue are invisible to the landmarks and would only absorb their noise.
    hidden_expression_deviation: float = 0.03

    # A head in an uncropped photograph is seen through at least this focal length over the
    # longer side (50 mm on 36 mm film), and from about this distance.
    focal_over_side: float = 1.4
    portrait_distance: float = 1.3  # Metres.
    focal_deviation: float = 0.2  # Of log focal length.
    landmark_steps: int = 15  # Of one solve: one for the pose, then these for all geometry.
    geometry_solves: int = 2

    # Photometric refinement; 0 rounds turns it off.
    photometric_rounds: int = 4
    photometric_steps: int = 5
    num_pixels: int = 2500
    # What the pixels count in all, in independent observations: neighbouring pixels share
    # their errors (shadows, pores, beard), so their number must not decide.
    photometric_weight: float = 150.0
    photometric_deviation: float = 0.08  # Of the median skin colour.
    photometric_cutoff: float = 2.5
    # The refinement is undone if it raises the median landmark error by more than this
    # fraction of the outer-eye distance.
    max_landmark_loss: float = 1.5e-3
    # The outline against the background, searched along its normals in the same rounds.
    num_contour: int = 200
    contour_weight: float = 12.0  # Of all of it, in independent observations.
    contour_deviation: float = 1.5  # Crop pixels.
    contour_cutoff: float = 4.0  # Deviations; where hair covers it, it is elsewhere.
    # Non-rigid displacement of what the modes leave over; 0 metres turns it off.
    residual_deviation: float = 1.0e-3
    # Metres, of a landmark of eyes, brows, lips and nostrils; of others. What the landmarks
    # themselves scatter about the fit is added.
    residual_noise: float = 0.4e-3
    residual_noise_elsewhere: float = 3e-3
    seed: int = 0
