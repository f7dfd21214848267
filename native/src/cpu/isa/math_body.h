// exp, the activations and their sums over a row, on whatever Vector is. Included inside an anonymous namespace.

// e^x, relative error below 2e-7; 0 below -104, infinity above 89. x = n ln 2 + r with |r| <= ln 2 / 2 (ln 2 split in two, so
// that n times its upper part is exact), then 1 + r + r^2 p(r) with p fitted to a relative error of 3e-9 by weighted least squares.
static inline Vector exponential(Vector x) {
  x = minimum(spread(89.0f), maximum(spread(-104.0f), x));
  const Vector n = round_to_even(multiply(x, spread(1.44269504f)));
  Vector r = multiply_add(n, spread(-0.693145752f), x);
  r = multiply_add(n, spread(-1.42860677e-6f), r);
  Vector p = spread(0.0013814599951729178f);
  p = multiply_add(p, r, spread(0.0083687175065279f));
  p = multiply_add(p, r, spread(0.04166838899254799f));
  p = multiply_add(p, r, spread(0.1666652113199234f));
  p = multiply_add(p, r, spread(0.4999999403953552f));
  const Vector y = add(spread(1.0f), multiply_add(multiply(p, r), r, r));
  return times_power_of_two(y, n);
}

// 2^x for x up to 127, relative error below 2.5e-7; 0 below -151. What is left after the nearest integer is exact; 1 + r q(r) for it is
// fitted to a relative error of 9.2e-8 by iterated weighted least squares.
static inline Vector exponential_of_two(Vector x) {
  x = maximum(spread(-151.0f), x);
  const Vector n = round_to_even(x), r = subtract(x, n);
  Vector p = spread(0.001326472731307149f);
  p = multiply_add(p, r, spread(0.009671512991189957f));
  p = multiply_add(p, r, spread(0.05550733581185341f));
  p = multiply_add(p, r, spread(0.24022242426872253f));
  p = multiply_add(p, r, spread(0.6931470036506653f));
  return times_power_of_two(multiply_add(p, r, spread(1.0f)), n);
}

#ifdef CLIPENGINE_LOOKS_UP
// 1 - Phi(t) for t from 0 to 5.38, Phi the normal distribution, in sixteen pieces around i / kPiecesEach: coefficients of a polynomial of the fourth degree in
// t * kPiecesEach - i, the constant ones first, fitted by iterated weighted least squares to 8.5e-8.
constexpr float kPiecesEach = 2.875f;
alignas(64) constexpr float kTail[5][16] = {
    {0.5f, 0.3639854f, 0.24332334f, 0.14836343f, 0.08206658f, 0.04100591f, 0.01844603f, 0.0074503683f, 0.0026961898f, 0.00087273907f, 0.00025233958f, 6.509836e-05f, 1.4970699e-05f, 3.0667172e-06f, 5.5923175e-07f, 9.0733344e-08f},
    {-0.13876222f, -0.13061671f, -0.108940005f, -0.08050717f, -0.052715614f, -0.030584428f, -0.015722303f, -0.0071611814f, -0.0028900374f, -0.0010334032f, -0.0003274014f, -9.190348e-05f, -2.2857048e-05f, -5.0366366e-06f, -9.833053e-07f, -1.700819e-07f},
    {-4.8798056e-06f, 0.007901019f, 0.013179624f, 0.014609756f, 0.012755253f, 0.009250472f, 0.005706449f, 0.0030324087f, 0.0013986434f, 0.00056264777f, 0.00019806979f, 6.1161634e-05f, 1.6594962e-05f, 3.9617194e-06f, 8.330022e-07f, 1.543885e-07f},
    {0.0028253933f, 0.0023037542f, 0.0011322597f, -0.00013706755f, -0.0009848758f, -0.0012415535f, -0.0010612183f, -0.000712302f, -0.0003947616f, -0.00018496116f, -7.423993e-05f, -2.5737638e-05f, -7.749161e-06f, -2.0341058e-06f, -4.6682771e-07f, -9.387221e-08f},
    {-6.2932886e-05f, -0.00022741097f, -0.0003319314f, -0.0002801318f, -0.00013699668f, 1.2941956e-06f, 7.7006654e-05f, 8.9028086e-05f, 6.681638e-05f, 3.8701746e-05f, 1.8312072e-05f, 7.2683792e-06f, 2.4563203e-06f, 7.133676e-07f, 1.7915956e-07f, 3.9083783e-08f},
};

// x Phi(x) = max(x, 0) - |x| (1 - Phi(|x|)): the error, in fp32 too, stays below 1.3e-7 |x| and below 2.5e-7. Beyond the last piece its end's
// second term stays, -1.92e-7 however large a negative number is: making it zero would cost an eighth of the time. Two thirds of that of the
// quotient below.
static inline Vector gelu(Vector x) {
  const Vector t = minimum(spread(15.49f / kPiecesEach), absolute(x));
  const Vector to_integer = spread(12582912.0f);  // 1.5 * 2^23: what is added to it is rounded to an integer, in the lowest bits
  const Vector piece = multiply_add(t, spread(kPiecesEach), to_integer);
  const Vector r = multiply_add(t, spread(kPiecesEach), subtract(to_integer, piece));
  Vector tail = look_up(kTail[4], piece);
  for (int i = 3; i >= 0; --i) tail = multiply_add(tail, r, look_up(kTail[i], piece));
  return multiply_add(subtract(spread(0.0f), t), tail, maximum(spread(0.0f), x));
}
#else
// erf(x / sqrt 2) = x P(x^2) / Q(x^2) for |x| <= 5.4 (beyond, 1 to within 7e-8), fitted by iterated weighted least squares to
// 1.1e-8; evaluated in fp32 the error stays below 4e-7. x must not be below -5.4.
static inline Vector error_function_of_root_half(Vector x) {
  const Vector t = minimum(spread(5.4f), x), u = multiply(t, t);
  Vector p = spread(4.677374576544935e-08f);
  p = multiply_add(p, u, spread(1.2719965525320731e-05f));
  p = multiply_add(p, u, spread(0.0003286371938884258f));
  p = multiply_add(p, u, spread(0.009301665239036083f));
  p = multiply_add(p, u, spread(0.0667438879609108f));
  p = multiply_add(p, u, spread(0.797884464263916f));
  Vector q = spread(1.2165921816631453e-06f);
  q = multiply_add(q, u, spread(7.239910337375477e-05f));
  q = multiply_add(q, u, spread(0.0018589642131701112f));
  q = multiply_add(q, u, spread(0.028378520160913467f));
  q = multiply_add(q, u, spread(0.25031715631484985f));
  q = multiply_add(q, u, spread(1.0f));
  return multiply(multiply(t, p), reciprocal(q));
}

// A number below -5.4 is taken for it: what is left of it is below 1.1e-6, however large it is.
static inline Vector gelu(Vector x) {
  const Vector bounded = maximum(spread(-5.4f), x), half = multiply(spread(0.5f), bounded);
  return multiply_add(half, error_function_of_root_half(bounded), half);
}
#endif

// x / (1 + e^z). Beyond 87 the quotient is as good as zero, and below it the reciprocal is still a normal number.
static inline Vector gated(Vector x, Vector z) { return multiply(x, reciprocal(add(spread(1.0f), exponential(minimum(spread(87.0f), z))))); }

// tanh(x) = x P(x^2) / Q(x^2) for |x| <= 9 (beyond, 1 to within 6e-8), fitted by iterated weighted least squares to a relative error of
// 2.1e-8; evaluated in fp32 the relative error stays below 3.5e-7, near 0 too.
static inline Vector hyperbolic_tangent(Vector x) {
  const Vector t = minimum(spread(9.0f), maximum(spread(-9.0f), x)), u = multiply(t, t);
  Vector p = spread(1.335465871221686e-08f);
  p = multiply_add(p, u, spread(2.060908082057722e-05f));
  p = multiply_add(p, u, spread(0.003495587967336178f));
  p = multiply_add(p, u, spread(0.13381025195121765f));
  p = multiply_add(p, u, spread(1.0f));
  Vector q = spread(7.776557708893961e-07f);
  q = multiply_add(q, u, spread(0.0003285634738858789f));
  q = multiply_add(q, u, spread(0.025876982137560844f));
  q = multiply_add(q, u, spread(0.4671434164047241f));
  q = multiply_add(q, u, spread(1.0f));
  return minimum(spread(1.0f), maximum(spread(-1.0f), multiply(multiply(t, p), reciprocal(q))));
}

template <Activation kind>
static inline Vector activated(Vector x) {
  if constexpr (kind == Activation::Gelu) {
    return gelu(x);
  } else if constexpr (kind == Activation::GeluTanh) {
    // 0.5 (1 + tanh z) = sigmoid(2 z), z = sqrt(2 / pi) (x + 0.044715 x^3).
    const Vector inner = multiply_add(multiply(multiply(x, x), spread(0.044715f)), x, x);
    return gated(x, multiply(inner, spread(-1.5957691216f)));
  } else if constexpr (kind == Activation::QuickGelu) {
    return gated(x, multiply(x, spread(-1.702f)));
  } else if constexpr (kind == Activation::Relu) {
    return maximum(spread(0.0f), x);
  } else if constexpr (kind == Activation::Silu) {
    return gated(x, subtract(spread(0.0f), x));
  } else if constexpr (kind == Activation::Tanh) {
    return hyperbolic_tangent(x);
  } else {
    return x;
  }
}

// Calls body(constant) with the activation as a compile-time constant.
template <Activation kind>
struct ActivationConstant {
  static constexpr Activation value = kind;
};
template <typename Body>
static inline void with_activation(Activation kind, const Body& body) {
  switch (kind) {
    case Activation::Gelu: body(ActivationConstant<Activation::Gelu>()); break;
    case Activation::GeluTanh: body(ActivationConstant<Activation::GeluTanh>()); break;
    case Activation::QuickGelu: body(ActivationConstant<Activation::QuickGelu>()); break;
    case Activation::Relu: body(ActivationConstant<Activation::Relu>()); break;
    case Activation::Silu: body(ActivationConstant<Activation::Silu>()); break;
    case Activation::Tanh: body(ActivationConstant<Activation::Tanh>()); break;
    case Activation::None: body(ActivationConstant<Activation::None>()); break;
  }
}
