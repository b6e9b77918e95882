// A pretended CUDA device: tensors that say "cuda:0", computed by the CPU's kernels on
// the same memory. It refuses what CUDA refuses (tensors of both devices in one
// operator), and counts its memory. See __main__.py.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <atomic>

namespace {

const c10::Device kPretended(c10::DeviceType::CUDA, 0);
std::atomic<int64_t> bytes_now{0}, bytes_peak{0};

void count(int64_t bytes) {
  int64_t now = bytes_now += bytes, peak = bytes_peak;
  while (now > peak && !bytes_peak.compare_exchange_weak(peak, now)) {
  }
}

// Memory of the CPU that the pretended device has.
struct Kept {
  explicit Kept(c10::DataPtr own, int64_t bytes) : own(std::move(own)), bytes(bytes) {
    count(bytes);
  }
  Kept(const at::Tensor& of, int64_t bytes) : of(of), bytes(bytes) { count(bytes); }
  ~Kept() { count(-bytes); }
  c10::DataPtr own;
  at::Tensor of;
  int64_t bytes;
  static void release(void* kept) { delete static_cast<Kept*>(kept); }
};

struct Guard : c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::CUDA> {
  c10::Device exchangeDevice(c10::Device) const override { return kPretended; }
  c10::Device getDevice() const override { return kPretended; }
  c10::Stream stream() const { return c10::Stream(c10::Stream::DEFAULT, kPretended); }
  c10::Stream getStream(c10::Device) const noexcept override { return stream(); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream(); }
  c10::Stream getNewStream(c10::Device, int) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
  void record(void**, const c10::Stream&, const c10::DeviceIndex,
              const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeEvent(void*) const override {}
  void synchronizeDevice(const c10::DeviceIndex) const override {}
  void recordDataPtrOnStream(const c10::DataPtr&, const c10::Stream&) const override {}
};

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    auto own = c10::GetCPUAllocator()->allocate(bytes);
    void* at = own.get();
    return {at, new Kept(std::move(own), bytes), &Kept::release, kPretended};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    default_copy_data(to, from, count);
  }
};

Allocator allocator;
Guard guard;

struct CUDAHooks : at::CUDAHooksInterface {
  explicit CUDAHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return at::detail::getDefaultCPUGenerator();
  }
  at::Generator getNewGenerator(c10::DeviceIndex) const override {
    return at::detail::createCPUGenerator();
  }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasCUDA() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  c10::DeviceIndex current_device() const override { return 0; }
  int getNumGPUs() const override { return 1; }
  at::Allocator* getCUDADeviceAllocator() const override { return &allocator; }
  at::Allocator* getPinnedMemoryAllocator() const override { return c10::GetCPUAllocator(); }
  void deviceSynchronize(c10::DeviceIndex) const override {}
};
using at::CUDAHooksRegistry;
using at::RegistererCUDAHooksRegistry;
REGISTER_CUDA_HOOKS(CUDAHooks);

bool pretended(const at::Tensor& t) { return t.defined() && t.is_cuda(); }

// The same memory as a tensor of the CPU.
at::Tensor on_cpu(const at::Tensor& t) {
  if (!pretended(t)) return t;
  const auto options = t.options().device(at::kCPU).requires_grad(false);
  if (t.storage().nbytes() == 0) return at::empty_strided(t.sizes(), t.strides(), options);
  at::Tensor keep = t;
  return at::from_blob(t.data_ptr(), t.sizes(), t.strides(), [keep](void*) {}, options);
}

// The memory of a tensor of the CPU as one of the pretended device.
at::Tensor on_device(const at::Tensor& t) {
  if (!t.defined() || !t.device().is_cpu()) return t;
  size_t bytes = t.storage().nbytes();
  auto* kept = new Kept(t, bytes);
  c10::DataPtr at(t.storage().mutable_data(), kept, &Kept::release, kPretended);
  auto storage = c10::make_intrusive<c10::StorageImpl>(
      c10::StorageImpl::use_byte_size_t(), bytes, std::move(at), &allocator, true);
  auto result = at::detail::make_tensor<c10::TensorImpl>(
      std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CUDA), t.dtype());
  result.unsafeGetTensorImpl()->set_storage_offset(t.storage_offset());
  result.unsafeGetTensorImpl()->set_sizes_and_strides(t.sizes(), t.strides());
  return result;
}

c10::IValue converted(const c10::IValue& v, at::Tensor (*f)(const at::Tensor&)) {
  if (v.isTensor()) return f(v.toTensor());
  if (v.isTensorList()) {
    c10::List<at::Tensor> out;
    for (const at::Tensor& t : v.toTensorVector()) out.push_back(f(t));
    return out;
  }
  if (v.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> out;
    for (const std::optional<at::Tensor>& t : v.toOptionalTensorList())
      out.push_back(t ? std::optional<at::Tensor>(f(*t)) : t);
    return out;
  }
  if (v.isDevice()) return c10::Device(at::kCPU);
  return v;
}

// Any operator without a kernel here: by the CPU's, on the same memory. What mixes
// devices is refused, as CUDA's kernels do; numbers of no dimension may be the CPU's.
void by_cpu(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const auto count = schema.arguments().size();
  auto given = torch::jit::last(*stack, count).vec();
  bool index = schema.name().find("index") != std::string::npos;
  for (const auto& v : given)
    for (const at::Tensor& t : v.isTensor() ? std::vector<at::Tensor>{v.toTensor()}
                             : v.isTensorList() ? v.toTensorVector()
                                                : std::vector<at::Tensor>{})
      TORCH_CHECK(!t.defined() || t.is_cuda() || t.dim() == 0 || index, schema.name(),
                  ": Expected all tensors to be on the same device, but found at least "
                  "two devices, cuda:0 and ", t.device());
  torch::jit::drop(*stack, count);
  for (const auto& v : given) torch::jit::push(*stack, converted(v, on_cpu));
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  const auto returned = schema.returns().size();
  auto results = torch::jit::last(*stack, returned).vec();
  torch::jit::drop(*stack, returned);
  for (size_t i = 0; i < returned; i++) {
    const auto* alias = schema.returns()[i].alias_info();
    bool done = false;
    if (alias && alias->isWrite())
      for (size_t j = 0; j < count && !done; j++) {
        const auto* other = schema.arguments()[j].alias_info();
        if (other && other->isWrite() && other->beforeSets() == alias->beforeSets() &&
            given[j].isTensor()) {
          at::Tensor mine = given[j].toTensor(), cpu = results[i].toTensor();
          if (mine.sizes() != cpu.sizes() || mine.strides() != cpu.strides() ) {  // it was resized
            auto whole = on_device(cpu);
            mine.unsafeGetTensorImpl()->set_storage_keep_dtype(whole.storage());
            mine.unsafeGetTensorImpl()->set_storage_offset(whole.storage_offset());
            mine.unsafeGetTensorImpl()->set_sizes_and_strides(whole.sizes(), whole.strides());
          }
          torch::jit::push(*stack, mine);
          done = true;
        }
      }
    if (!done) torch::jit::push(*stack, converted(results[i], on_device));
  }
}

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype,
                 std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>,
                 std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &allocator, c10::DispatchKeySet(c10::DispatchKey::CUDA),
                                   c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride,
                         std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                         std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &allocator,
                                           c10::DispatchKeySet(c10::DispatchKey::CUDA),
                                           c10::dtype_or_default(dtype));
}

at::Tensor strided(const at::Tensor& self, at::IntArrayRef size, at::IntArrayRef stride,
                      std::optional<int64_t> offset) {
  auto result = at::detail::make_tensor<c10::TensorImpl>(
      c10::TensorImpl::VIEW, c10::Storage(self.storage()), self.key_set(), self.dtype());
  result.unsafeGetTensorImpl()->set_storage_offset(offset.value_or(self.storage_offset()));
  result.unsafeGetTensorImpl()->set_sizes_and_strides(size, stride);
  return result;
}

at::Tensor view(const at::Tensor& self, at::IntArrayRef size) {
  auto cpu = on_cpu(self).view(size);
  return strided(self, cpu.sizes(), cpu.strides(), self.storage_offset());
}

at::Tensor& copy_(at::Tensor& self, const at::Tensor& from, bool) {
  on_cpu(self).copy_(on_cpu(from));
  return self;
}

const at::Tensor& resize_(const at::Tensor& self, at::IntArrayRef size,
                          std::optional<at::MemoryFormat>) {
  auto* impl = self.unsafeGetTensorImpl();
  int64_t needed = c10::multiply_integers(size) * self.itemsize() +
                   self.storage_offset() * self.itemsize();
  if (static_cast<int64_t>(self.storage().nbytes()) < needed) {
    auto fresh = allocator.allocate(needed);
    if (self.storage().nbytes())
      memcpy(fresh.get(), self.storage().data(), self.storage().nbytes());
    self.storage().set_data_ptr_noswap(std::move(fresh));
    self.storage().set_nbytes(needed);
  }
  impl->set_sizes_contiguous(size);
  return self;
}

at::Tensor& set_source(at::Tensor& self, at::Storage source, int64_t offset,
                       at::IntArrayRef size, at::IntArrayRef stride) {
  auto* impl = self.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(std::move(source));
  impl->set_storage_offset(offset);
  impl->set_sizes_and_strides(size, stride);
  return self;
}

at::Tensor& set_storage(at::Tensor& self, at::Storage source) {
  int64_t size = source.nbytes() / self.itemsize();
  return set_source(self, std::move(source), 0, size, 1);
}

TORCH_LIBRARY_IMPL(_, CUDA, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&by_cpu>());
}

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("as_strided", strided);
  m.impl("view", view);
  m.impl("copy_", copy_);
  m.impl("resize_", resize_);
  m.impl("set_.source_Storage", set_storage);
  m.impl("set_.source_Storage_storage_offset", set_source);
}

struct Registered {
  Registered() {
    c10::impl::device_guard_impl_registry[static_cast<int>(c10::DeviceType::CUDA)].store(&guard);
    c10::SetAllocator(c10::DeviceType::CUDA, &allocator);
  }
} registered;

}  // namespace

extern "C" int64_t pretended_bytes() { return bytes_now; }
extern "C" int64_t pretended_peak() { return bytes_peak; }
extern "C" void pretended_forget_peak() { bytes_peak = bytes_now.load(); }
