/* PyTorch's MKL takes slow paths on processors of other makers than Intel, whatever these can do, unless this
   question is answered with yes. Preloaded, it is. */
int mkl_serv_intel_cpu_true(void) { return 1; }
