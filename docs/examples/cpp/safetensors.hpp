// safetensors: an 8-byte little-endian length, a JSON header, the bytes. For little-endian machines.
#pragma once
#include <Eigen/Dense>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

// Row-major, as safetensors is: with Eigen's column-major default every answer would come out transposed in memory.
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using nlohmann::json;

struct Tensor {
  std::vector<long> shape;
  std::vector<double> data;

  // Layer i of a batch: the last two dimensions.
  Matrix layer(long i) const {
    const long rows = shape[shape.size() - 2], cols = shape.back();
    return Eigen::Map<const Matrix>(data.data() + i * rows * cols, rows, cols);
  }
};

template <typename T>
std::vector<double> widened(const char* bytes, size_t count) {
  std::vector<double> out(count);
  for (size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, bytes + i * sizeof(T), sizeof(T));
    out[i] = static_cast<double>(value);
  }
  return out;
}

// Float64, float32 and booleans; bfloat16 and float16 inputs are in the file a second time, in float32.
inline std::map<std::string, Tensor> read_tensors(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  uint64_t length;
  file.read(reinterpret_cast<char*>(&length), 8);
  std::string header(length, ' ');
  file.read(header.data(), static_cast<std::streamsize>(length));
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const json entries = json::parse(header);
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, about] : entries.items()) {
    if (name == "__metadata__") continue;
    const char* first = bytes.data() + about["data_offsets"][0].get<size_t>();
    const std::string dtype = about["dtype"];
    Tensor tensor{about["shape"], {}};
    size_t count = 1;
    for (const long size : tensor.shape) count *= static_cast<size_t>(size);
    if (dtype == "F64") tensor.data = widened<double>(first, count);
    else if (dtype == "F32") tensor.data = widened<float>(first, count);
    else if (dtype == "BOOL") tensor.data = widened<uint8_t>(first, count);
    else continue;
    tensors[name] = std::move(tensor);
  }
  return tensors;
}

inline void write_tensors(const std::string& path, const std::map<std::string, Tensor>& tensors) {
  json header = json::object();
  size_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const size_t size = 8 * tensor.data.size();
    header[name] = {{"dtype", "F64"}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + size}}};
    offset += size;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data start at a multiple of 8
  const uint64_t length = text.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), 8).write(text.data(), static_cast<std::streamsize>(length));
  for (const auto& [name, tensor] : tensors) {
    file.write(reinterpret_cast<const char*>(tensor.data.data()), static_cast<std::streamsize>(8 * tensor.data.size()));
  }
  if (!file) throw std::runtime_error("cannot write " + path);
}
