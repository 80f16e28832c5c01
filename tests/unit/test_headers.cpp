// Exists so that CMake has one library to precompile the GoogleTest header in; it holds no test.
