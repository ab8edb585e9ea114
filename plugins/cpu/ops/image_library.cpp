#include "plugins/cpu/ops/image_library.h"

#include <dlfcn.h>

namespace tenon::cpu {
namespace {

constexpr const char* file = "libtenon_image_codecs.so";

std::string own_folder() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<void*>(&own_folder), &info) || !info.dli_fname) return {};
  const std::string path = info.dli_fname;
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
}

ImageLibrary open() {
  ImageLibrary library;
  const std::string folder = own_folder();
  // An absolute path: a bare name would be looked for wherever the environment says.
  void* handle = folder.empty() ? nullptr : dlopen((folder + file).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* text = folder.empty() ? "the folder of the provider is not known" : dlerror();
    library.reason = std::string("the image codecs cannot be loaded: ") + (text ? text : file) +
                     "; they are " + file + " beside the provider, and need libjpeg-turbo, libpng, libtiff, OpenJPEG and libwebp "
                     "(Debian: libjpeg62-turbo libpng16-16 libtiff6 libopenjp2-7 libwebp7 libwebpdemux2)";
    return library;
  }
  library.decode = reinterpret_cast<ImageDecode>(dlsym(handle, image_decode_symbol));
  if (!library.decode) library.reason = std::string(folder) + file + " is of another version: it has no " + image_decode_symbol;
  return library;
}

}  // namespace

const ImageLibrary& image_library() {
  static const ImageLibrary library = open();
  return library;
}

}  // namespace tenon::cpu
