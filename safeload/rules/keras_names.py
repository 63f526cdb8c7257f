"""What Keras brings along to build models from: classes and functions that only compute."""

from __future__ import annotations

from safeload.rules.wordlist import words

CLASSES = words(
    """
    AUC AWQConfig AWQDTypePolicy AbsMaxQuantizer Accuracy Activation ActivityRegularization Adadelta Adafactor
    Adagrad Adam AdamW Adamax AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout
    AtrousConvolution1D AtrousConvolution2D Attention AugMix AutoContrast Average AveragePooling1D
    AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BCE BatchNormalization BatchNormalizationV1
    BatchNormalizationV2 Bidirectional BinaryAccuracy BinaryCrossentropy BinaryFocalCrossentropy BinaryIoU CTC
    CategoricalAccuracy CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalGeneralizedCrossEntropy
    CategoricalHinge CategoryEncoding CenterCrop Circle CompileLoss CompileMetrics Concatenate
    ConcordanceCorrelation Constant Constraint Container ContrastLimitedAdaptiveHistogramEqualization Conv1D
    Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D
    Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D Convolution3DTranspose CosineDecay
    CosineDecayRestarts CosineSimilarity Cropping1D Cropping2D Cropping3D CuDNNGRU CuDNNLSTM CutMix DTypePolicy
    DTypePolicyMap Deconvolution2D Dense DenseFeatures DepthwiseConv1D DepthwiseConv2D Dice Discretization Dot
    Dropout ELU EinsumDense Embedding Equalization ExponentialDecay F1Score FBetaScore FalseNegatives
    FalsePositives Flatten Float8QuantizationConfig FloatDTypePolicy Ftrl Functional GPTQConfig GPTQDTypePolicy
    GRU GRUCell GRUV2 GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D
    GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D
    GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GlorotNormal GlorotUniform
    GradientDescent GroupNormalization GroupQueryAttention HashedCrossing Hashing HeNormal HeUniform Highway
    Hinge Huber Identity IdentityInitializer Initializer Input InputLayer InputSpec Int4DTypePolicy
    Int4QuantizationConfig Int8QuantizationConfig IntegerLookup InverseTimeDecay IoU KLD KLDivergence
    KerasTensor L1 L1L2 L2 LSTM LSTMCell LSTMV2 Lamb Layer LayerNormalization LeakyReLU LearningRateSchedule
    LecunNormal LecunUniform LinearModel Lion LocallyConnected1D LocallyConnected2D LogCosh LogCoshError Loss
    LossFunctionWrapper LossScaleOptimizer MAE MAPE MSE MSLE Masking MaxNorm MaxNumBoundingBoxes MaxPool1D
    MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum MaxoutDense Mean MeanAbsoluteError
    MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanSquaredError MeanSquaredLogarithmicError
    MelSpectrogram Merge Metric MetricsList MinMaxNorm Minimum MixUp Model MultiHeadAttention MultiOptimizer
    Multiply Muon Nadam Network NonNeg Normalization OneHotIoU OneHotMeanIoU Ones Optimizer Orthogonal
    OrthogonalInitializer OrthogonalRegularizer PReLU PearsonCorrelation Permute PiecewiseConstantDecay Pipeline
    Poisson Policy PolicyV1 PolynomialDecay Precision PrecisionAtRecall PreprocessingLayer QuantizationConfig
    QuantizedDTypePolicy QuantizedFloat8DTypePolicy Quantizer R2Score RMSNormalization RMSprop RNN
    RaggedTensorSpec RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast
    RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHeight
    RandomHue RandomInvert RandomNormal RandomPerspective RandomPosterization RandomRotation RandomSaturation
    RandomSharpness RandomShear RandomTranslation RandomUniform RandomWidth RandomZoom ReLU Recall
    RecallAtPrecision Regularizer RepeatVector Rescaling Reshape Resizing ReversibleEmbedding
    RootMeanSquaredError SGD STFT STFTInitializer STFTSpectrogram ScheduleFreeAdamW SeedGenerator
    SensitivityAtSpecificity SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D
    Sequential SimpleRNN SimpleRNNCell Softmax Solarization SparseCategoricalAccuracy
    SparseCategoricalCrossentropy SparseTensorSpec SparseTopKCategoricalAccuracy SpatialDropout1D
    SpatialDropout2D SpatialDropout3D SpecificityAtSensitivity SpectralNormalization SquaredHinge
    StackedRNNCells StringLookup Subtract Sum SyncBatchNormalization TensorShape TensorSpec TextVectorization
    ThresholdedReLU TimeDistributed TimeDistributedDense TopKCategoricalAccuracy TrueNegatives TruePositives
    TruncatedNormal Tversky TypeSpec UnitNorm UnitNormalization UpSampling1D UpSampling2D UpSampling3D
    VarianceScaling WideDeepModel Wrapper ZeroPadding1D ZeroPadding2D ZeroPadding3D Zeros
    """
)
"""Layers, models, initializers, losses, metrics, optimizers … of Keras 1 to 3, wherever each version keeps them."""

OPERATIONS = words(
    """
    Absolute AdaptiveAveragePool AdaptiveMaxPool Add AffineTransform All AllClose Amax Amin Angle Any Append
    Arange Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argpartition Argsort Array
    ArraySplit AssociativeScan Average AveragePool BatchNorm BinaryCrossentropy Bincount BitwiseAnd
    BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor BroadcastTo CDist CTCDecode
    CTCLoss Cast CategoricalCrossentropy Cbrt Ceil Celu Cholesky CholeskyInverse Clip Concatenate Cond Conjugate
    Conv ConvTranspose ConvertToTensor Copy Corrcoef Correlate Cos Cosh CountNonzero CropImages Cross Cumprod
    Cumsum Deg2rad DepthToSpace DepthwiseConv Det Diag Diagflat Diagonal Diff Digitize Divide DivideNoNan Dot
    DotProductAttention Dsplit Dstack Eig Eigh Einsum ElasticTransform Elu EmptyLike Equal Erf Erfc Erfinv Exp
    Exp2 ExpandDims Expm1 ExtractPatches ExtractSequences FFT FFT2 Fabs Flip Fliplr Flipud Floor FloorDivide
    Fmax Fmin Fmod Fold ForiLoop Full FullLike Function GaussianBlur Gcd Gelu Geomspace GetItem Glu Greater
    GreaterEqual HSVToRGB HardShrink HardSigmoid HardSilu HardTanh Heaviside Histogram Hsplit Hstack Hypot I0
    IFFT2 IRFFT ISTFT Imag InTopK Inner Inv IsIn Isclose Isfinite Isinf Isnan Isneginf Isposinf Isreal JVP Kron
    LayerNorm Lcm Ldexp LeakyRelu LeftShift Less LessEqual Linspace Log Log10 Log1p Log2 LogSigmoid LogSoftmax
    Logaddexp Logaddexp2 Logdet LogicalAnd LogicalNot LogicalOr LogicalXor Logspace Logsumexp Lstsq LuFactor Map
    MapCoordinates Matmul MatrixRank Max MaxPool Maximum Mean Median Meshgrid Min Minimum Mod Moments Moveaxis
    MultiHot Multiply NanToNum Nanargmax Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian Nanmin
    Nanpercentile Nanprod Nanquantile Nanstd Nansum Nanvar Ndim Negative Nextafter Nonzero Norm Normalize
    NotEqual OneHot OnesLike Outer PSNR Pad PadImages Percentile PerspectiveTransform Pinv Polar Power Prod Ptp
    Qr Quantile RFFT RGBToGrayscale RGBToHSV RMSNorm Rad2deg Ravel Real Rearrange Reciprocal Relu Relu6 Repeat
    Reshape Resize RightShift Roll Rot90 Round Rsqrt SSIM STFT SVD SaturateCast ScaleAndTranslate Scan Scatter
    ScatterUpdate SearchSorted SegmentReduction Select Selu SeparableConv Sigmoid Sign Signbit Silu Sin Sinc
    Sinh Size Slice SliceUpdate Slogdet SobelEdges SoftShrink Softmax Softplus Softsign Solve SolveTriangular
    Sort SpaceToDepth SparseCategoricalCrossentropy SparsePlus SparseSigmoid Sparsemax Split Sqrt Square
    Squareplus Squeeze Stack Std StopGradient Subtract Sum Swapaxes Switch Take TakeAlongAxis Tan Tanh
    TanhShrink Tensordot Threshold Tile TopK Trace Transpose Trapezoid Tril Triu TrueDivide Trunc Unfold Unique
    UnravelIndex Unstack Vander Var Vdot VectorizedMap View ViewAsComplex ViewAsReal Vsplit Vstack Where
    WhileLoop ZerosLike
    """
)
"""Operations that functional models of Keras 3 are put together from."""

FUNCTIONS = words(
    """
    BCE abs_max_quantize abs_max_quantize_grouped_with_zero_point acc accuracy add average bce beta
    binary_accuracy binary_crossentropy binary_focal_crossentropy binomial categorical categorical_accuracy
    categorical_crossentropy categorical_focal_crossentropy categorical_generalized_cross_entropy
    categorical_hinge celu circle compute_float8_amax_history compute_float8_scale concatenate
    concordance_correlation constant cosine cosine_proximity cosine_similarity ctc dice dot dropout elu
    exponential fake_quant_with_min_max_vars gamma gelu glorot glorot_normal glorot_uniform glu hard_shrink
    hard_sigmoid hard_silu hard_swish hard_tanh he_normal he_uniform hinge huber identity kl_divergence kld
    kullback_leibler_divergence l1 l1_l2 l2 leaky_relu lecun lecun_normal lecun_uniform linear log_cosh
    log_sigmoid log_softmax logcosh mae mape max_norm maximum mean_absolute_error mean_absolute_percentage_error
    mean_squared_error mean_squared_logarithmic_error min_max_norm minimum mish mse msle multiply non_neg normal
    one ones orthogonal orthogonal_regularizer pack_int4 pearson_correlation poisson quantize_and_dequantize
    randint random_normal random_uniform relu relu6 selu shuffle sigmoid silu soft_shrink softmax softplus
    softsign sparse_categorical_accuracy sparse_categorical_crossentropy sparse_plus sparse_sigmoid
    sparse_top_k_categorical_accuracy sparsemax squared_hinge squareplus stft subtract swish tanh tanh_shrink
    threshold top_k_categorical_accuracy truncated_normal tversky uniform unit_norm unpack_int4 variance_scaling
    zero zeros
    """
)
"""Functions that a model may name: activations, initializers, losses and metrics."""

DATA = words(
    "__tuple__ __tensor__ __keras_tensor__ __numpy__ __bytes__ __ellipsis__ __slice__ __none__ __typespec__ "
    "TensorShape CompositeTensor TypeSpec"
)
"""Marks for plain values."""

HOMES = words(
    "layers models engine initializers activations losses metrics optimizers regularizers constraints "
    "dtype_policies quantizers random trainers mixed_precision legacy_tf_layers premade premade_models feature_column "
    "legacy"
)
"""Parts of Keras that models are built from: a class of these that is not listed is one of a newer version."""

FAMILY = words("keras_hub keras_nlp keras_cv")
"""Packages of the same authors."""

TENSORFLOW = words(
    "math nn linalg signal image bitwise strings random sets sparse ragged __operators__ dtypes quantization audio"
)
"""Modules of TensorFlow whose functions only compute; a `TFOpLambda` names one."""

TENSORFLOW_REACHES = words(
    "io gfile raw_ops py_function py_func numpy_function load_library load_op_library load_file_system_library "
    "saved_model data train sysconfig summary distribute config autograph lite profiler test user_ops app flags "
    "resource_loader keras queue read_file write_file matching_files"
)
"""Modules and functions that open files, run Python, load libraries or change the process."""

TENSORFLOW_TOP = words(
    "abs acos acosh add add_n argmax argmin argsort asin asinh atan atan2 atanh batch_to_space bitcast "
    "boolean_mask broadcast_to case cast clip_by_global_norm clip_by_norm clip_by_value complex concat constant "
    "convert_to_tensor cos cosh cumsum divide dynamic_partition dynamic_stitch edit_distance eig eigvals einsum "
    "ensure_shape equal exp expand_dims eye fill fingerprint floor gather gather_nd greater greater_equal "
    "guarantee_const hessians histogram_fixed_width histogram_fixed_width_bins identity identity_n less "
    "less_equal linspace logical_and logical_not logical_or matmul matrix_square_root maximum meshgrid minimum "
    "multiply negative no_op norm not_equal one_hot ones ones_like pad parallel_stack pow range rank realdiv "
    "recompute_grad reduce_all reduce_any reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod "
    "reduce_sum repeat reshape reverse reverse_sequence roll round scalar_mul searchsorted sequence_mask shape "
    "shape_n sigmoid sign sin sinh size slice sort space_to_batch space_to_batch_nd split sqrt square squeeze "
    "stack stop_gradient strided_slice subtract switch_case tan tanh tensor_scatter_nd_add tensor_scatter_nd_max "
    "tensor_scatter_nd_min tensor_scatter_nd_sub tensor_scatter_nd_update tensordot tile timestamp transpose "
    "truediv truncatediv truncatemod unique unique_with_counts unravel_index unstack where zeros zeros_like"
)
