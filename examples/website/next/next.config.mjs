export default {
  output: "export",
  images: {
    loader: "custom",
    loaderFile: "./picture-loader.js",
    deviceSizes: [640, 1280, 1920], // those of images.widths that fill a screen
    imageSizes: [320], // and those that are smaller than one
  },
}
