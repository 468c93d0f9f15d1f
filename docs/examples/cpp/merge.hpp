// Frames, core matrices and the orthogonally equivariant methods, on one layer.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include "safetensors.hpp"

constexpr double EPS = std::numeric_limits<double>::epsilon();
constexpr double RTOL = 64 * EPS;  // a singular value must exceed this, relative to the largest

struct Update {
  Matrix B, A;  // (m, r), (r, n); the scale is folded into B
  Matrix delta() const { return B * A; }
  // What rounding may do to anything computed from this task: 8 eps times the sizes of its rank-one terms.
  double rounding() const {
    double sum = 0;
    for (long i = 0; i < B.cols(); ++i) sum += B.col(i).stableNorm() * A.row(i).stableNorm();
    return 8 * EPS * sum;
  }
};

struct Svd {
  Matrix P, Q;  // (p, d), (q, d)
  Eigen::VectorXd S;

  explicit Svd(const Matrix& x) : P(x.rows(), 0), Q(x.cols(), 0) {
    if (x.size() == 0 || x.isZero(0)) return;  // no direction at all
    Eigen::JacobiSVD<Matrix> svd(x, Eigen::ComputeThinU | Eigen::ComputeThinV);
    P = svd.matrixU(), Q = svd.matrixV(), S = svd.singularValues();
  }
  // The first k triplets of those above `level`.
  void cut(double level, long k = std::numeric_limits<long>::max()) {
    const long rank = std::min<long>(k, (S.array() > level).count());
    P.conservativeResize(Eigen::NoChange, rank), Q.conservativeResize(Eigen::NoChange, rank), S.conservativeResize(rank);
  }
  double top() const { return S.size() ? S(0) : 0; }
};

inline Matrix beside(const std::vector<Matrix>& blocks) {
  long cols = 0;
  for (const auto& block : blocks) cols += block.cols();
  Matrix out(blocks[0].rows(), cols);
  cols = 0;
  for (const auto& block : blocks) out.middleCols(cols, block.cols()) = block, cols += block.cols();
  return out;
}

// The left singular vectors of [blocks] in the space that its directions span, each direction at norm 1, so that
// nothing is lost for being small.
inline Matrix frame(const std::vector<Matrix>& directions, const std::vector<Matrix>& blocks) {
  Matrix unit = beside(directions);
  for (long i = 0; i < unit.cols(); ++i) {
    if (const double size = unit.col(i).stableNorm(); size > 0) unit.col(i) /= size;
  }
  Svd live(unit);
  live.cut(RTOL * live.top());
  Matrix stack = beside(blocks);
  if (const double size = stack.size() ? stack.cwiseAbs().maxCoeff() : 0; size > 0) stack /= size;
  if (live.P.cols() == 0) return live.P;
  const Matrix inner = live.P.transpose() * stack;
  return live.P * Eigen::JacobiSVD<Matrix>(inner, Eigen::ComputeThinU | Eigen::ComputeThinV).matrixU();
}

// A space is a pair of frames: U (m, p) and V (n, q).
inline std::pair<Matrix, Matrix> frames(const std::vector<Update>& updates, const std::string& space) {
  const long m = updates[0].B.rows(), n = updates[0].A.cols();
  Matrix U = Matrix::Identity(m, m), V = Matrix::Identity(n, n);
  std::vector<Matrix> lefts, rights, columns, deltas;
  for (const auto& update : updates) {
    lefts.push_back(update.B), rights.push_back(update.A.transpose()), deltas.push_back(update.delta());
    Svd svd(deltas.back());
    svd.cut(update.rounding());
    columns.push_back(svd.P);
  }
  if (space == "core") U = frame(lefts, lefts), V = frame(rights, rights);
  if (space == "knots") U = frame(columns, deltas);
  return {U, V};
}

struct Stack {
  std::vector<Matrix> M;        // T of (p, q)
  std::vector<double> rounding;  // T
};

inline Matrix weighted_sum(Stack& stack, const std::vector<double>& weights) {
  Matrix sum = Matrix::Zero(stack.M[0].rows(), stack.M[0].cols());
  double level = 0;
  for (size_t t = 0; t < stack.M.size(); ++t) {
    sum += weights[t] * stack.M[t];
    level = std::max(level, std::abs(weights[t]) * stack.rounding[t]);
  }
  stack.rounding = {level};
  return sum;
}

// The polar factor over the numerical support, never over null vectors.
inline Matrix polar(const Matrix& x, double level) {
  Svd svd(x);
  svd.cut(std::max(level, RTOL) * svd.top());
  return svd.P * svd.Q.transpose();
}

inline Matrix tsv(Stack& stack, const json& params) {
  const long p = stack.M[0].rows(), q = stack.M[0].cols(), T = static_cast<long>(stack.M.size());
  const long k = params["k"].is_null() ? std::max(1L, std::min(p, q) / T) : params["k"].get<long>();
  std::vector<Matrix> lefts, rights;
  std::vector<double> values;
  double level = 0;
  for (size_t t = 0; t < stack.M.size(); ++t) {
    const Svd all(stack.M[t]);
    Svd kept = all;
    kept.cut(stack.rounding[t], k);
    lefts.push_back(kept.P), rights.push_back(kept.Q);
    values.insert(values.end(), kept.S.begin(), kept.S.end());
    if (const long r = kept.S.size()) {  // how well the kept directions are known
      const double gap = kept.S(r - 1) - (r < all.S.size() ? all.S(r) : 0);
      level = std::max(level, std::min(std::sqrt(EPS), stack.rounding[t] / gap));
    }
  }
  stack.rounding = {*std::max_element(stack.rounding.begin(), stack.rounding.end())};
  if (values.empty()) return Matrix::Zero(p, q);
  const Eigen::Map<Eigen::VectorXd> S(values.data(), static_cast<long>(values.size()));
  return polar(beside(lefts), level) * S.asDiagonal() * polar(beside(rights), level).transpose();
}

inline Matrix cart(Stack& stack, const json& params) {
  const double T = static_cast<double>(stack.M.size());
  const double share = params["fraction"].get<double>() * static_cast<double>(std::min(stack.M[0].rows(), stack.M[0].cols()));
  const long k = params["k"].is_null()
                     ? std::max<long>(1, static_cast<long>(params["rounding"] == "ceil" ? std::ceil(share) : std::floor(share)))
                     : params["k"].get<long>();
  const double level = *std::max_element(stack.rounding.begin(), stack.rounding.end());
  Matrix mean = Matrix::Zero(stack.M[0].rows(), stack.M[0].cols());
  for (const auto& M : stack.M) mean += M / T;
  Matrix sum = mean;
  for (const auto& M : stack.M) {
    Svd svd(M - mean);
    svd.cut(level, k);
    sum += params["coefficient"].get<double>() * svd.P * svd.S.asDiagonal() * svd.Q.transpose();
  }
  stack.rounding = {level * std::max(1.0, std::abs(params["coefficient"].get<double>()))};
  return sum;
}

// Every singular value that is not zero becomes their mean.
inline Matrix iso(const Matrix& M, double level) {
  Svd svd(M);
  svd.cut(level);
  return svd.S.size() ? Matrix(svd.S.mean() * svd.P * svd.Q.transpose()) : Matrix::Zero(M.rows(), M.cols());
}
