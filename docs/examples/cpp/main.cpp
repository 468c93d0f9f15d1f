// Usage: merge CASES OUTPUTS.safetensors, where CASES was written by `coremerge vectors export CASES`.
#include <iostream>
#include <numeric>
#include <optional>
#include <set>
#include <sstream>

#include "merge.hpp"

// What this implementation does; every other case is left out and counts as unsupported.
static const std::set<std::string> METHODS = {"ta", "mean", "tsv", "cart", "ta+iso", "mean+iso", "tsv+iso"};

static bool supported(const json& record) {
  const json& params = record["params"];
  return METHODS.count(record["method"]) && record["space"] != "knots-unscaled" && !(params.contains("iso") && params["iso"]["support"] != "rank");
}

static Matrix merge(const std::vector<Update>& updates, const json& record) {
  const auto [U, V] = frames(updates, record["space"]);
  Stack stack;
  for (const auto& update : updates) {
    stack.M.push_back((U.transpose() * update.B) * (update.A * V));
    stack.rounding.push_back(update.rounding());
  }
  if (U.cols() == 0 || V.cols() == 0) return Matrix::Zero(U.rows(), V.rows());
  Matrix merged;
  std::istringstream stages(record["method"].get<std::string>());
  for (std::string stage; std::getline(stages, stage, '+');) {
    const json& params = record["params"][stage];
    if (stage == "tsv") merged = tsv(stack, params);
    else if (stage == "cart") merged = cart(stack, params);
    else if (stage == "iso") merged = iso(merged, stack.rounding[0]);
    else {
      const std::vector<double> weights = params["weights"];
      merged = weighted_sum(stack, weights);
      if (stage == "mean") merged /= std::accumulate(weights.begin(), weights.end(), 0.0);
    }
  }
  return U * merged * V.transpose();
}

int main(int argc, char** argv) {
  if (argc != 3) return std::cerr << "usage: merge CASES OUTPUTS.safetensors\n", 2;
  const std::string folder = argv[1];
  std::ifstream file(folder + "/manifest.json");
  const json manifest = json::parse(file);
  const auto tensors = read_tensors(folder + "/vectors.safetensors");
  std::map<std::string, Tensor> outputs;
  for (const json& record : manifest["cases"]) {
    if (!supported(record)) continue;
    Tensor output{record["shape"], {}};
    const long layers = output.shape.size() == 3 ? output.shape[0] : 1;
    for (long layer = 0; layer < layers; ++layer) {
      std::vector<Update> updates;
      for (const json& update : record["updates"]) {
        const Tensor& B = tensors.at(update.value("B_float32", update["B"]));
        const Tensor& A = tensors.at(update.value("A_float32", update["A"]));
        updates.push_back({update["scale"].get<double>() * B.layer(layer), A.layer(layer)});
      }
      const Matrix merged = merge(updates, record);
      output.data.insert(output.data.end(), merged.data(), merged.data() + merged.size());
    }
    outputs[record["output"]] = std::move(output);
  }
  write_tensors(argv[2], outputs);
  std::cout << "answered " << outputs.size() << " of " << manifest["cases"].size() << " cases\n";
}
