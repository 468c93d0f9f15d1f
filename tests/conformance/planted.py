"""The mistakes that are planted, and how the diagnosis names those it knows.

NAMED: what the project's specification lists and what other implementations do differently. FURTHER: more mistakes an
implementer could make; all are caught, those with a name are named.
"""

NAMED = {
    # the specification's list
    "scaling ignored": "scaling ignored",
    "scaling applied twice": "scaling applied twice",
    "rsLoRA sqrt(r) too much": "rsLoRA: alpha / sqrt(r) where alpha / r is meant",
    "alpha over r applied again": "alpha / r applied on top of the scaling",
    "result transposed": "result transposed (A and B swapped)",
    "threshold off by one": "trim threshold off by one",
    "threshold off by one the other way": "trim threshold one too low",
    "count election": "election by count",
    "sum for mean": "sum for mean",
    "mean for sum": "mean for sum",
    "DARE not rescaled": "DARE not rescaled",
    "drop and keep swapped": "DARE's drop and keep swapped (masks inverted)",
    "null vectors in TSV": "null vectors used in TSV",
    "null vectors in polar": "null vectors used in TSV",
    "null vectors in Iso": "null vectors used in Iso",
    "KnOTS without singular values": "KnOTS coordinates without their singular values",
    "one threshold for the whole model": "one trim threshold for the whole model",
    "mean over the wrong count": "mean singular value over the wrong count",
    "first task dropped": "first task dropped",
    "last task dropped": "last task dropped",
    "result in single precision": "single-precision arithmetic",
    # the inputs hold few enough bits: seen where they do not fit (huge, tiny)
    "inputs read in single precision": "small values taken for zero (single precision, or an absolute threshold)",
    # what other implementations do
    "keep exact for threshold": "exactly int(d·density) entries kept",
    "threshold for exact": "threshold where the exact count is asked",
    "zero sums positive": "zero sums take +1",
    "mass election": "election by mass",
    "only the first weight used": "weights ignored (or only the first used, which is 1)",
    "weight order swapped": "TIES weights before the election",
    "weight for count divisor": "TIES divided by the kept weights",
    "count for weight divisor": "TIES divided by the count",
    "weights ignored": "weights ignored (or only the first used, which is 1)",
    "always l1": "DARE rescaled by the l1 norms",
    "DARE replaces trimming": "DARE in place of TIES' trimming",
    "no trimming": "TIES does not trim",
    "masks compounded over calls": "a second call with the same case gave another answer: state kept between calls",
    "float rank int(K * (1 / T))": "relative rank int(K * (1 / T)) in floating point",
    "rounding of the rank swapped": "CART rank rounded down",
    "CART coefficient ignored": "CART coefficient ignored",
    "coefficient on the mean too": "CART coefficient scales the mean too",
    "projected on both sides": "Iso-CTS projects on both sides",
    "absolute rank cut 1e-5": "small values taken for zero (single precision, or an absolute threshold)",
    "no rank cut in the frames": "null directions kept in the frames",
    "cores averaged": "the updates averaged, whatever the method",
    "both frames cut to the common rank": "both frames cut to the common rank",
    "rank cut to the smallest task": "all ranks cut to the smallest task's",
    "A and B averaged apart": "A and B averaged apart",
    "A and B merged apart": "A and B merged apart (roots of weight and scaling on both)",
    "updates truncated to a fixed rank": "each update truncated to rank 1",
    "truncated to the largest rank": "result truncated to the largest rank of a task",
    "drop 0 skips all": "DRM at a drop of 0 skips trimming and election",
    "zero rows divided": "DRM divides the rows of a zero task by their norm",
    "merged in the full space": "merged in the full space",
}  # fmt: skip

FURTHER = """
A flattened in the wrong order
Iso-CTS counts rounded down
KnOTS on the other side
QR for polar
Tucker basis for the paper's
a single task returned as it is
absolute weights
absolute zero level 1e-12
always 1 / (1 - p)
columns normalised
common part left out
common part not adjusted
density is the dropped share
density rounded up
disagreeing kept
divided by T in DRM
elected sign reversed
every kth by the full size
first layer of a batch for all
first task for the mean in CART
frame one column short
frames by QR in place of the SVD
frames kept from an earlier call
frames of the first task only
highest index first among equals
inputs rounded to bfloat16
inputs scaled in place
iso left out
k one too large
k one too small
l2 norms for l1
largest singular value for the mean
layers of a batch in reverse
left frame used on both sides
mask flattened in column order
masks cut from the wrong end
masks in reverse
mean divided by T
mean not added back
mean of the common values only
mean over T
median singular value
negative weights clipped
no election in DRM
no orthogonalization
no residual
not centred
not renormalised
one mask for all
one threshold for all tasks
projected on the right only
quantile for the order statistic
rank cut on the raw stack at 1e-2
rank cut too high
relative rank at least 1
rescaled by 1 / p
rescaled by the kept share
rescaled twice
residuals averaged in CART
result divided by T
result flattened
result negated
results added up over calls
right side not orthogonalized
root mean square
scaling folded into A
sign of the largest entry
singular values averaged
singular values left out
singular values not multiplied back
singular values sorted over tasks
singular values taken in ascending order
square root of the scaling on one factor only
strictly above the threshold
subnormals flushed
sum for the mean in CART
sum of singular values
svd through the Gram matrix
ta divided by T
tasks with B = 0 left out
the other direction
threshold per task in DRM
trimmed by value, not magnitude
weights reversed
weights squared
zero entries agree
zero sums dropped
zero sums negative
""".strip().split("\n")
