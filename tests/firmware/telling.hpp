// What a program in the relay's place sees and may do on the box; telling.cpp.
#pragma once

// On standard output, which is the console there; each line begins with "telling: ".
void tell();
