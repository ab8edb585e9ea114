#include "plugins/cpu/ops/image_library.h"

#include <dlfcn.h>

namespace tenon::cpu {
namespace {

std::string own_folder() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<void*>(&own_folder), &info) || !info.dli_fname) return {};
  const std::string path = info.dli_fname;
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
}

// needs: the libraries behind it, and the Debian packages that have them.
ImageLibrary open(const std::string& file, const char* needs, const char* packages) {
  ImageLibrary library;
  const std::string folder = own_folder();
  // An absolute path: a bare name would be looked for wherever the environment says.
  void* handle = folder.empty() ? nullptr : dlopen((folder + file).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* text = folder.empty() ? "the folder of the provider is not known" : dlerror();
    library.reason = "the image codecs cannot be loaded: " + std::string(text ? text : file.c_str()) + "; they are " + file + " beside the provider, and need " + needs +
                     " (Debian: " + packages + ")";
    return library;
  }
  library.decode = reinterpret_cast<ImageDecode>(dlsym(handle, image_decode_symbol));
  if (!library.decode) library.reason = folder + file + " is of another version: it has no " + image_decode_symbol;
  return library;
}

}  // namespace

const ImageLibrary& image_library() {
  static const ImageLibrary library = open("libtenon_image_codecs.so", "libjpeg-turbo, libpng, OpenJPEG and libwebp",
                                           "libjpeg62-turbo libpng16-16 libopenjp2-7 libwebp7 libwebpdemux2");
  return library;
}

const ImageLibrary& tiff_library() {
  static const ImageLibrary library = open("libtenon_image_tiff.so", "libtiff", "libtiff6");
  return library;
}

}  // namespace tenon::cpu
