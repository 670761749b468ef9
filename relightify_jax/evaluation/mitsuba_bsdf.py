"""The skin of `rendering.brdf` as a material of Mitsuba, written anew from its formulas.

With the same reflection on both sides a difference between two pictures is one of light
transport: how the light was summed and what hides what. Nothing is shared with the code
under test; the albedo of the lobe is integrated here instead of looked up.
"""

from typing import Any

import numpy as np

_NUM_QUADRATURE = 192  # Half vectors per axis.
_NUM_COSINES = 64
_DEGREE = 14


def lobe_albedo(roughness: float, f0: float, cosines: np.ndarray) -> np.ndarray:
    """Fraction of uniform light that a GGX lobe reflects, by quadrature over half vectors.

    Args:
        roughness: alpha is its square.
        f0: Reflectance at normal incidence.
        cosines: (N,) to the viewer, in (0, 1].

    Returns:
        (N,) float64.
    """
    alpha2 = roughness**4
    step = (np.arange(_NUM_QUADRATURE) + 0.5) / _NUM_QUADRATURE
    # Half vectors of equal weight D(h) (n.h), Walter et al. 2007, eq. 35.
    height2 = (1 - step) / (1 + (alpha2 - 1) * step)
    n_h, sine = np.sqrt(height2)[:, None], np.sqrt(1 - height2)[:, None]
    c = cosines[:, None, None]
    v_h = np.sqrt(1 - c * c) * sine * np.cos(np.pi * step) + c * n_h  # Half a turn is enough.
    n_l = 2 * v_h * n_h - c
    is_seen = (v_h > 0) & (n_l > 0)
    n_l = np.where(is_seen, n_l, 1.0)
    shadowing = n_l * np.sqrt(c * c * (1 - alpha2) + alpha2) + c * np.sqrt(
        n_l * n_l * (1 - alpha2) + alpha2
    )
    fresnel = f0 + (1 - f0) * (1 - np.clip(v_h, 0, 1)) ** 5
    # f (n.l) over the density D (n.h) / (4 v.h) of the light's direction.
    weight = fresnel * n_l / (2 * shadowing) * 4 * v_h / n_h
    return np.where(is_seen, weight, 0.0).mean(axis=(1, 2))


def albedo_series(roughness: float, f0: float) -> tuple[list[float], float]:
    """The albedo over the root of the cosine, and its mean over directions.

    Returns:
        Coefficients of Chebyshev polynomials in 2 sqrt(cosine) - 1, from the constant on,
        within 1e-4 of the quadrature from roughness 0.25 on; and the albedo's mean.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_NUM_COSINES)
    root = (nodes + 1) / 2
    albedo = lobe_albedo(roughness, f0, root**2)
    series = np.polynomial.chebyshev.chebfit(nodes, albedo, _DEGREE)
    # The mean is the integral of 2 c E(c) over c = root^2.
    return [float(value) for value in series], float(np.sum(2 * root**3 * weights * albedo))


def register_skin(mi: Any, dr: Any) -> None:
    """Registers the material "relightify_skin" with Mitsuba's current variant.

    Its entries: `albedo`, a texture; `specular_f0`, 0 for none at all; `roughness`.
    """

    class Skin(mi.BSDF):
        def __init__(self, props):
            mi.BSDF.__init__(self, props)
            self.albedo = props.get_texture("albedo")
            self.f0, self.roughness = props["specular_f0"], props["roughness"]
            self.series, self.mean = albedo_series(self.roughness, self.f0)
            self.half = mi.MicrofacetDistribution(mi.MicrofacetType.GGX, self.roughness**2)
            self.m_components = [mi.BSDFFlags.GlossyReflection | mi.BSDFFlags.FrontSide]
            self.m_flags = self.m_components[0]

        def sample(self, ctx, si, sample1, sample2, active=True):
            half, _ = self.half.sample(si.wi, sample2)
            mirrored = mi.reflect(si.wi, half)
            bs = mi.BSDFSample3f()
            bs.wo = dr.select(sample1 < 0.5, mirrored, mi.warp.square_to_cosine_hemisphere(sample2))
            value, bs.pdf = self.eval_pdf(ctx, si, bs.wo, active)
            bs.eta = 1.0
            bs.sampled_type = mi.UInt32(+mi.BSDFFlags.GlossyReflection)
            bs.sampled_component = mi.UInt32(0)
            return bs, dr.select(bs.pdf > 0, value / dr.maximum(bs.pdf, 1e-20), 0.0)

        def eval(self, ctx, si, wo, active=True):
            visible = (wo.z > 0) & (si.wi.z > 0) & active
            n_l, n_v = dr.select(visible, wo.z, 1.0), dr.select(visible, si.wi.z, 1.0)
            half = dr.normalize(si.wi + wo)
            alpha2 = self.roughness**4
            width = half.z * half.z * (alpha2 - 1) + 1
            shadowing = n_l * dr.sqrt(n_v * n_v * (1 - alpha2) + alpha2) + n_v * dr.sqrt(
                n_l * n_l * (1 - alpha2) + alpha2
            )
            missing = 1 - dr.clip(dr.dot(wo, half), 0, 1)
            fresnel = self.f0 + (1 - self.f0) * missing**5
            lobe = fresnel * alpha2 / (2 * dr.pi * width * width * shadowing)
            shared = (1 - self.reflected(n_l)) * (1 - self.reflected(n_v)) / (1 - self.mean)
            value = self.albedo.eval(si, active) * (shared / dr.pi) + lobe
            return dr.select(visible, value * n_l, 0.0)

        def pdf(self, ctx, si, wo, active=True):
            visible = (wo.z > 0) & (si.wi.z > 0) & active
            half = dr.normalize(si.wi + wo)
            mirrored = self.half.pdf(si.wi, half) / dr.maximum(4 * dr.dot(wo, half), 1e-6)
            return dr.select(visible, 0.5 * (mirrored + wo.z / dr.pi), 0.0)

        def eval_pdf(self, ctx, si, wo, active=True):
            return self.eval(ctx, si, wo, active), self.pdf(ctx, si, wo, active)

        def reflected(self, cosine):
            """Albedo of the lobe at a cosine, by Clenshaw's rule."""
            twice = 2 * (2 * dr.sqrt(cosine) - 1)
            one, two = 0.0, 0.0
            for coefficient in reversed(self.series[1:]):
                one, two = twice * one - two + coefficient, one
            return self.series[0] + 0.5 * twice * one - two

        def traverse(self, callback):
            callback.put("albedo", self.albedo, mi.ParamFlags.Differentiable)

        def to_string(self):
            return f"Skin[f0={self.f0}, roughness={self.roughness}]"

    mi.register_bsdf("relightify_skin", Skin)
